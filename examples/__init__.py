"""Examples: programs that use Overwinter as its users do."""
