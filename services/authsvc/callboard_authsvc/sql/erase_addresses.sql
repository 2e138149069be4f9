-- Of invitations of this organisation, while the account still says which address it is.
update cb.invitation i set email = ''
from cb.person p where p.person = $2 and i.organisation = $1 and i.email = p.email
