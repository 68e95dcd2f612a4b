"""Gates: rules that look at an evaluation's figures and say yes or no, with the figure, the limit and the evidence."""
