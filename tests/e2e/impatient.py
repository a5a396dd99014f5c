"""`python -m tests.e2e.impatient serve …`: Relay, but it waits a second for clients to read where it would wait longer."""

from relay.cli import connection, main

if __name__ == "__main__":
    vars(connection)["LONGEST_STANDSTILL"] = 1.0
    main()
