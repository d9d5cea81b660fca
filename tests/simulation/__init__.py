"""A whole gateway in one thread: a loop whose order a seed decides, a clock that only moves when nothing else can, faulty ports."""
