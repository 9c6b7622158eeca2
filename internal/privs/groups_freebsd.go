package privs

const maxGroups = 1023 // NGROUPS_MAX
