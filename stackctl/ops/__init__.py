"""pyinfra operations and facts of our own, for deploys: sound where pyinfra's have a trap."""
