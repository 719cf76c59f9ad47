"""What a generator is worth: scores that carry their definition, their reference and their noise floor."""
