mod looking;
