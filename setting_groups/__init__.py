"""The settings, by what they are for. `settings.Settings` has them all."""
