"""Short trading days in which the executor is killed and the exchange misbehaves, judged from outside."""
