"""The service's history: `v1`, and from there the branches `safe` and `unsafe`, two ways to the same goal.

The goal: a document gets an id to share it by (`share_id`, never null), a category (a foreign key, taken from
its first tag, indexed with its account), and a size that may pass 2 GiB (bigint) and is never negative (a
CHECK).

`safe` is what a careful team writes while release N keeps running; `unsafe` is what autogenerate and a
hurried person write. They exclude each other: go back to `v1` before taking the other.
"""
