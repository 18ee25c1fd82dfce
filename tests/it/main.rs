
mod helm_corpus;
