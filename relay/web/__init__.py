"""The HTTP side: the API, callbacks in, the event stream, pictures by signed link, health and documents."""
