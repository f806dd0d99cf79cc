"""Evaluation of the pocket model.

evaluation_plan.py   which clips to generate, as data     coverage.py        balanced combinations
clip_request.py      one clip and what it should show     sentences.py       unknown words, nonsense
ood_images.py        images from outside the world        clip_generator.py  request -> clip
missing_clips.py     generates what is missing            results_store.py   finished clips on disk
judged_clips.py      clips with the judges' verdicts      judge_accuracy.py  accuracy of the judges
pixel_metrics.py     metrics without a trained model      confidence.py      confidence intervals
prompt_following.py pairs.py likeness.py sweeps.py ood_prompts.py   figures and tables
report.py            as text, JSON and model card         sheets.py          contact sheets
"""
