"""Other people's messages and files: their forms, and where the parts of a review are in them."""
