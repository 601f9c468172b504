"""Commands for a checkout only: README's tables, the book, the rehearsal at full size."""
