"""Gradio edges: they translate, the rooms decide."""
