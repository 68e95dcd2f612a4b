"""What needs a network: the policy service, the paper exchange, the executor and the commands that start them."""
