mod helm_corpus;
