"""The durable runtime: workflows, activities, their journal and the engine that drives them.

Authors import the modules of this package by name, as they would those of the Temporal SDK:
``from overwinter.runtime import workflow, activity, common, exceptions, client, worker``.
"""
