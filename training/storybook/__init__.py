"""The storybook world: flat icons on flat backdrops, drawn from vectors at any size."""
