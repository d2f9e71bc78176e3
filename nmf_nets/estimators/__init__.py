"""scikit-learn's face, and the one place where its letters meet ours: its W is our H, its H (`components_`) our W."""
