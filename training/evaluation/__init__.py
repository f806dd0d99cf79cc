"""Evaluation of the pocket model.

plan.py           which clips to generate, as data      coverage.py       balanced combinations
request.py        one clip and what it should show       sentences.py      unknown words in prompts
ood_images.py     images from outside the world          generate.py       request -> clip
run.py            generates what is missing              results_store.py  finished clips on disk
judged_clips.py   clips with the judges' verdicts        judge_accuracy.py the judges' own accuracy
metrics.py        metrics without a trained model        confidence.py     confidence intervals
prompt_following.py pairs.py likeness.py sweeps.py ood_prompts.py   figures and tables
report.py         as text, JSON and model card           sheets.py         contact sheets
"""
