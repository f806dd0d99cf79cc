"""OpenAI's video API: /v1/videos as the official SDK calls it."""
