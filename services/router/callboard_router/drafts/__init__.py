"""Drafts of playbooks: edited, rebased, discarded, published."""
