"""How services are spoken to: each protocol with its real server, API documents, services as tutorials write them."""
