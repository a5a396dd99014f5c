"""YEScale, Flux in OpenAI's image format: the connection is held, the answer holds links or base64."""
