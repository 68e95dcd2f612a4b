"""Short trading days in which the executor is killed and the exchange misbehaves; what is left is judged from outside."""
