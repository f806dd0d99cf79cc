"""Workers in other processes or on other machines, behind Redis and RQ."""
