"""How the pocket model is made: the world, the trainings, the evaluation.

The app never imports this.
"""
