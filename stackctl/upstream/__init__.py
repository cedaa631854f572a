"""What an image's tag and a repository's branch are at the moment, asked of registries and of the model hub."""
