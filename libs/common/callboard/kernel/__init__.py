"""Pure building blocks: deciders, names, digests, diffs, the playbook file. No IO, clock or random."""
