// Without a file of assembly Go does not compile a function whose body is elsewhere.
