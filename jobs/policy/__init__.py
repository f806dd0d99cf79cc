"""What may not be made here: rules for prompts, and what is done about a refusal."""
