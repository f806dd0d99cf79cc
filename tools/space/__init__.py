"""`make space`: the commit that is checked out, as a Hugging Face Space.

stage.py    the files of HEAD that a Space needs, in a folder
upload.py   that folder, in one commit to the Hub
wait.py     until the Space has built and runs it
"""
