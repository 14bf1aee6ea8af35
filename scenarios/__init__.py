"""The journeys that the fleet measures, one file each, and the platform as their client.

A scenario is a short `async def` that a person who knows the journey can read: steps (`probe.step`), what happens in them
(`probe.platform`), and what must be true (`probe.expect...`). It knows no URL, path or field of any platform (those are data,
`config/targets/`), makes no retries and times nothing itself. `probes.registry` finds the files;
`docs/how-to/write-a-scenario.md` shows how to write the next one.
"""
