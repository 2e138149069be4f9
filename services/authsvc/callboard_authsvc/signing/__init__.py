"""The keys that sign access tokens: published before they sign, kept until what they signed is over."""
