"""Training and evaluation of the pocket model. The app never imports this."""
