"""What only a checkout needs: README's tables, the book, the dress rehearsal."""
