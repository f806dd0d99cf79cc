"""How good the pocket model is: what it is asked, what it makes, what the judges say, the tables.

plan.py          which clips: everything asked of the model, as data
sentences.py     words from outside the world          strangers.py  pictures from outside it
maker.py         request -> clip                       shelf.py      clips that are done, on disk
run.py           what is missing, by several processes evidence.py   clips with their verdicts
measures.py      what can be said of a clip without having learned anything
intervals.py     how far a share or a mean may be trusted
obedience.py pairs.py curves.py strange.py   what was found, each as figures and tables
report.py        all of it on the screen, as JSON and in the form of the model card
sheets.py        contact sheets
"""
