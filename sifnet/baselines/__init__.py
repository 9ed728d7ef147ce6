"""What others would do with the same scene, beside which the retrieval is judged."""
