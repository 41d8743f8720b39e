"""How services are spoken to: each protocol with the real server of it, API documents, and services as tutorials write them."""
