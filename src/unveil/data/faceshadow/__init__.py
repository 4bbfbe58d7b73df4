"""FaceShadow: faces with foreign shadows, synthesised after Zhang et al. 2020 (Portrait Shadow Manipulation, section 3.1).

LearnIR's data set of this name was not released. As there, a face I becomes I (1 - M) + S M with a shadow mask M from
silhouettes or Perlin-like noise, its softness varying over the face, its edge scattered differently in each channel as skin
does, and a shadowed image S under coloured ambient light. The distributions of the parameters are this project's own.
"""
