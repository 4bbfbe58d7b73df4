"""Small tools that know nothing of photographs or models: safe files, quiet libraries, sentences, suffixes, statistics."""
