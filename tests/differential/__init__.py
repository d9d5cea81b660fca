"""The same workflow source on Temporal's dev server and on Overwinter, and what each let us see."""
