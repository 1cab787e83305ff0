"""How far the verifier agrees with Linux: programs with recorded verdicts and logs, and the live kernel."""
