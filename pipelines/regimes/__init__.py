"""Which of four regimes the market is in: a hidden Markov model, fitted on the past and filtered forward."""
