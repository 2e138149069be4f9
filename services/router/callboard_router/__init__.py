"""The router: compiled playbooks in memory, name resolution and policy for every call, and the playbook commands."""
