"""What a network's logits become: masks, their pieces and outlines, pictures, and files."""
