"""Where Relay records things, one package per database. `relay.ports.store` says what a store must do."""
