mod made;
