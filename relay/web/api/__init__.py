"""The API: one module per noun, each with its handlers and the operations that lead to them."""
