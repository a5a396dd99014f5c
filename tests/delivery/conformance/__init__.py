"""What the outbound half promises, sentence by sentence: each test is named like one, and goes the way that an event really goes."""
