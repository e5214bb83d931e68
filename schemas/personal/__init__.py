"""Personal data in reviews: what is masked before a text is printed."""
